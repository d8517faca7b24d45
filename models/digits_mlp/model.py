"""A perceptron with one hidden layer, for flattened 28x28 grey digits."""

from torch import Tensor, nn


class SimpleMLP(nn.Module):
    """784-128-10 perceptron: float32 [N, 784] -> logits float32 [N, 10]."""

    def __init__(self, num_features: int = 784, hidden: int = 128, num_classes: int = 10) -> None:
        super().__init__()
        self.fc1 = nn.Linear(num_features, hidden)
        self.fc2 = nn.Linear(hidden, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.fc1(x).relu()
        logits: Tensor = self.fc2(hidden)
        return logits
