"""A small convolutional network for 28x28 digits."""

from torch import Tensor, nn
from torch.nn import functional as F


class SimpleCNN(nn.Module):
    """Two padded 3x3 convolutions and a linear layer: float32 [N, 3, 28, 28] -> logits [N, num_classes]."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, kernel_size=3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.fc = nn.Linear(32 * 7 * 7, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(F.relu(self.conv1(x)))  # [N, 16, 14, 14]
        x = self.pool(F.relu(self.conv2(x)))  # [N, 32, 7, 7]
        logits: Tensor = self.fc(x.flatten(start_dim=1))
        return logits
