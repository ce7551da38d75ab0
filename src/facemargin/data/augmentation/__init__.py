"""Augmentation: the random changes of images in training."""
