"""PyTorch's function for each of our activations, in the order of `enum class Activation`."""
import torch
import torch.nn.functional as F

activations = {
    "identity": lambda t: t * 1,
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu-tanh": lambda t: F.gelu(t, approximate="tanh"),
    "silu": F.silu,
    "quick-gelu": lambda t: t * torch.sigmoid(1.702 * t),
    "tanh": torch.tanh,
}
