"""The documents, and the module that generates parts of them."""
