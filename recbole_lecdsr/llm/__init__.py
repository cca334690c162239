"""LLM side: texts of items and users come in; `.itememb` and `.useremb` feature files go out."""
