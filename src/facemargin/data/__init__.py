"""Reading images of people, and preparing them for a network."""
