"""The random changes that training makes to images."""
