"""Language models and encoders: texts of items and users come in; ``.itememb`` and ``.useremb`` files go out."""
