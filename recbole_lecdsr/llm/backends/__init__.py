"""Back ends that run a language model: requests come in; answers or failures go out."""
