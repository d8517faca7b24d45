"""A regression network with a layer of its own between two linear ones."""

from torch import Tensor, nn


class CustomSigmoidLayer(nn.Module):
    """A linear map squashed to 0..1: float32 [N, in_features] -> [N, out_features]."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x: Tensor) -> Tensor:
        squashed: Tensor = self.linear(x).sigmoid()
        return squashed


class ModelWithCustomLayer(nn.Module):
    """10-20-20-1 regression: scaled features float32 [N, 10] -> standardised target float32 [N, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(10, 20)
        self.custom = CustomSigmoidLayer(20, 20)
        self.fc2 = nn.Linear(20, 1)

    def forward(self, x: Tensor) -> Tensor:
        standardised: Tensor = self.fc2(self.custom(self.fc1(x)))
        return standardised
