"""Generation: histories of users and fields of items come in; validated answers of a language model go out."""
