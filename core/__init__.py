"""The ground floor: what all other folders stand on; it imports nothing of them."""
