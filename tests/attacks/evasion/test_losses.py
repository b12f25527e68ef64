"""What an attack makes as large as it can."""

import pytest
import torch

from app.attacks.evasion.losses import LOSSES, cross_entropy, difference_of_logits_ratio, margin, runners_up

LOGITS = torch.tensor([[2.0, 5.0, 1.0, 0.0], [2.0, 5.0, 1.0, 0.0]])
Y = torch.tensor([1, 0])


class TestMargin:
    def test_it_is_positive_exactly_for_errors(self):
        assert margin(LOGITS, Y).tolist() == [-3.0, 3.0]

    def test_it_can_aim_at_a_class(self):
        assert margin(LOGITS, Y, torch.tensor([3, 2])).tolist() == [-5.0, -1.0]


class TestDifferenceOfLogitsRatio:
    def test_it_is_equation_6(self):
        assert difference_of_logits_ratio(LOGITS, Y).tolist() == pytest.approx([-3 / 4, 3 / 4])

    def test_aimed_it_is_equation_7(self):
        assert difference_of_logits_ratio(LOGITS, Y, torch.tensor([3, 2])).tolist() == pytest.approx(
            [-5 / 4.5, -1 / 4.5]
        )

    def test_it_does_not_depend_on_the_scale_of_the_logits(self):
        assert torch.allclose(difference_of_logits_ratio(9 * LOGITS, Y), difference_of_logits_ratio(LOGITS, Y))

    @pytest.mark.parametrize("classes", [2, 3])
    @pytest.mark.parametrize("aimed", [True, False])
    def test_few_classes_still_have_a_slope(self, classes, aimed):
        logits = torch.tensor([[1.5, 0.5, -1.0][:classes]], requires_grad=True)
        target = torch.tensor([1]) if aimed else None
        difference_of_logits_ratio(logits, torch.tensor([0]), target).sum().backward()

        assert float(logits.grad.abs().max()) > 0.1


class TestCrossEntropy:
    def test_it_grows_as_the_target_becomes_likely(self):
        aim = torch.tensor([0, 1])

        assert cross_entropy(LOGITS, Y, aim).tolist() == pytest.approx(LOGITS.log_softmax(1)[[0, 1], [0, 1]].tolist())


@pytest.mark.parametrize("name", list(LOSSES))
class TestEveryLoss:
    def test_its_gradient_is_that_of_finite_differences(self, name):
        logits = torch.randn(6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
        y, target = torch.tensor([0, 1, 2, 3, 4, 0]), torch.tensor([1, 2, 3, 4, 0, 4])

        assert torch.autograd.gradcheck(lambda z: LOSSES[name](z, y, None), logits)
        assert torch.autograd.gradcheck(lambda z: LOSSES[name](z, y, target), logits)


class TestRunnersUp:
    def test_the_true_class_is_not_among_them(self):
        assert runners_up(LOGITS, Y, 9).tolist() == [[0, 2, 3], [1, 2, 3]]
