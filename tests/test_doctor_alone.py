"""The doctor is a library of its own: it works where torchvision, timm and our packages are missing."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SCRIPT = """
import sys

for name in ("torchvision", "timm", "helpers", "drawn", "PIL", "safetensors"):
    sys.modules[name] = None  # importing it now raises ImportError

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from transfer_doctor import DiagnosisError, diagnose, guard

images, labels = torch.randn(48, 3, 16, 16), torch.arange(48) % 4
train = DataLoader(TensorDataset(images, labels), 8, shuffle=True)
val = DataLoader(TensorDataset(images[:16] + 1, labels[:16]), 8)
layers = [nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4)]


def look(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    return diagnose(model, optimizer, train, val, criterion=nn.CrossEntropyLoss(), weights=False)


healthy, ill = look(nn.Sequential(*layers)), look(nn.Sequential(*layers, nn.Softmax(dim=1)))
print([f.code for f in (*healthy.of("error"), *healthy.of("warning"))], [f.code for f in ill.of("error")])
print([reason for reason in healthy.not_checked.values() if "itself failed" in reason])
try:
    guard(nn.Sequential(*layers, nn.Softmax(dim=1)), None, train, criterion=nn.CrossEntropyLoss())
except DiagnosisError as refusal:
    print("refused")
"""


def test_the_doctor_needs_neither_torchvision_nor_timm_nor_helpers():
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["[] ['softmax-before-loss']", "[]", "refused"], done.stderr
