"""A two-layer classifier for ten numeric features."""

from torch import Tensor, nn


class MyModel(nn.Module):
    """10-50-2 classifier: scaled features float32 [N, 10] -> logits float32 [N, 2]."""

    def __init__(self) -> None:
        super().__init__()
        self.layer1 = nn.Linear(10, 50)
        self.layer2 = nn.Linear(50, 2)

    def forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.layer1(x).relu()
        logits: Tensor = self.layer2(hidden)
        return logits
