"""Commands of the command line, one a module: arguments in, an exit status out."""
