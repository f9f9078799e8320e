"""The doctor passes over a loader as a plain loop does: twice, and without telling it the epoch."""

import pytest
import torch
from torch.utils.data import DataLoader, DistributedSampler

from helpers import load_backbone, load_task, make_loaders, replace_head
from tests.mistakes.small import small_world
from transfer_doctor import diagnose


@pytest.fixture(scope="module")
def world():
    return small_world("resnet")


def test_our_loaders_count_epochs_by_themselves():
    task = load_task("flowers").few(4)
    model = replace_head(load_backbone("embedded"), len(task.classes))
    loaders = make_loaders(task, model.preprocessing, batch_size=20, augment="light")
    codes = diagnose(model, None, loaders.train, loaders.val).codes
    assert not {"repeats-without-set-epoch", "not-shuffled", "training-never-changes"} & set(codes)


class Seeded(torch.utils.data.Dataset):
    """Augmented by epoch and index alone, and the epoch has to be told."""

    def __init__(self, dataset):
        self.dataset, self.epoch = dataset, 0

    def __len__(self):
        return len(self.dataset)

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __getitem__(self, index):
        image, label = self.dataset[index]
        return image + 0.1 * torch.randn(image.shape, generator=torch.Generator().manual_seed(self.epoch)), label


def test_a_loader_that_repeats_order_and_pixels_is_noted_once(world):
    dataset = Seeded(world.loader("train", world.preparation).dataset)
    sampler = DistributedSampler(dataset, num_replicas=1, rank=0)
    diagnosis = diagnose(world.model(), None, DataLoader(dataset, 8, sampler=sampler), classes=world.classes)
    (finding,) = (f for f in diagnosis if f.code in {"repeats-without-set-epoch", "training-never-changes"})
    assert finding.severity == "note"
    assert "train_loader.sampler.set_epoch(epoch)" in finding.fix
    assert sampler.epoch == dataset.epoch == 0
