"""The results of a submission, and what its student is told of them."""
