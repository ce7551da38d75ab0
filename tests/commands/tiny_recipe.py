"""A recipe whose training takes seconds."""

RECIPE = {
    "head": {"name": "funface", "scale": 16.0},
    "backbone": {"name": "small_resnet", "input_size": 16, "width": 4, "embedding_size": 16},
    "data": {"train": "orl:1-4", "workers": 0, "cache_decoded": True, "synthetic_identities": ["mirrored"]},
    "optimizer": {"name": "adamw", "learning_rate": 0.01},
    "schedule": {"name": "cosine"},
    "epochs": 6,
    "batch_size": 20,
    "logging": {"every_steps": 1},
}
