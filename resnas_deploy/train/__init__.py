"""Training and search. Their files come with the training module; nothing but the command line imports them."""
