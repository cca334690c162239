"""Generation: prompts of items and histories come in; checked, stored answers of a language model go out."""
