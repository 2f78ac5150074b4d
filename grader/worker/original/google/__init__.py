"""Only for `google.colab`; another package of this name is not hidden."""
