"""log c_n(κ) and A_n(κ) against mpmath's Bessel functions in 50 digits."""

import functools
import math

import mpmath
import numpy as np
import pytest
import torch

from facemargin.margins.vmf import bessel_ratio, log_vmf_normalizer

DIMENSIONS = [2, 3, 4, 5, 8, 16, 64, 65, 66, 67, 128, 255, 256, 512, 1023, 1024]
# Rounded to float32, so that both types are asked for the same numbers.
KAPPAS = [float(np.float32(kappa)) for kappa in np.logspace(-3, 4, 25)]


@functools.cache
def exact(dimension: int) -> np.ndarray:
    """Rows of (log c_n, A_n, A_n') for KAPPAS, (25, 3)."""
    rows = []
    with mpmath.workdps(50):
        order = mpmath.mpf(dimension) / 2 - 1
        for value in KAPPAS:
            kappa = mpmath.mpf(value)
            bessel = mpmath.besseli(order, kappa)
            ratio = mpmath.besseli(order + 1, kappa) / bessel
            log_c = order * mpmath.log(kappa) - (order + 1) * mpmath.log(2 * mpmath.pi) - mpmath.log(bessel)
            slope = 1 - ratio**2 - (dimension - 1) / kappa * ratio
            rows.append([float(log_c), float(ratio), float(slope)])
    return np.array(rows)


def measured(dimension: int, dtype: torch.dtype):
    """log c_n, its gradient, A_n and its gradient over KAPPAS, each a float64 array."""
    kappa = torch.tensor(KAPPAS, dtype=dtype, requires_grad=True)
    log_c, ratio = log_vmf_normalizer(kappa, dimension), bessel_ratio(kappa, dimension)
    (log_c_slope,) = torch.autograd.grad(log_c.sum(), kappa)
    (ratio_slope,) = torch.autograd.grad(ratio.sum(), kappa)
    assert log_c.dtype == ratio.dtype == log_c_slope.dtype == dtype
    return [values.detach().double().numpy() for values in (log_c, log_c_slope, ratio, ratio_slope)]


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_float64_equals_mpmath(dimension):
    log_c, log_c_slope, ratio, ratio_slope = measured(dimension, torch.float64)
    expected_log_c, expected_ratio, expected_slope = exact(dimension).T
    np.testing.assert_allclose(log_c, expected_log_c, rtol=0, atol=4e-12)
    np.testing.assert_array_less(np.abs(log_c - expected_log_c) / np.maximum(1, np.abs(expected_log_c)), 5e-14)
    np.testing.assert_allclose(ratio, expected_ratio, rtol=1e-15)
    np.testing.assert_allclose(log_c_slope, -expected_ratio, rtol=1e-15)
    np.testing.assert_allclose(ratio_slope, expected_slope, rtol=2e-11)


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_float32_loses_no_more_than_its_rounding(dimension):
    log_c, log_c_slope, ratio, ratio_slope = measured(dimension, torch.float32)
    expected_log_c, expected_ratio, expected_slope = exact(dimension).T
    half_ulp = 2.0**-24
    np.testing.assert_allclose(log_c, expected_log_c, rtol=1.01 * half_ulp)
    np.testing.assert_allclose(ratio, expected_ratio, rtol=1.01 * half_ulp)
    np.testing.assert_allclose(log_c_slope, -expected_ratio, rtol=1.01 * half_ulp)
    np.testing.assert_allclose(ratio_slope, expected_slope, rtol=1.01 * half_ulp)


@pytest.mark.parametrize("dimension", [2, 3, 64, 256])
def test_first_and_second_derivatives_equal_finite_differences(dimension):
    kappa = torch.tensor([0.0, 0.3, 7.0, 90.0, 800.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda k: log_vmf_normalizer(k, dimension), kappa)
    assert torch.autograd.gradgradcheck(lambda k: log_vmf_normalizer(k, dimension), kappa)
    assert torch.autograd.gradcheck(lambda k: bessel_ratio(k, dimension), kappa)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("dimension", [2, 3, 256, 1024])
def test_at_zero_it_is_the_uniform_density(dimension, dtype):
    kappa = torch.tensor([0.0, 1e-12], dtype=dtype, requires_grad=True)
    log_c, ratio = log_vmf_normalizer(kappa, dimension), bessel_ratio(kappa, dimension)
    uniform = math.lgamma(dimension / 2) - math.log(2) - dimension / 2 * math.log(math.pi)
    rtol = torch.finfo(dtype).eps * 10
    torch.testing.assert_close(log_c, torch.full_like(log_c, uniform), rtol=rtol, atol=2e-14)
    torch.testing.assert_close(ratio, kappa / dimension, rtol=rtol, atol=0)
    (slope,) = torch.autograd.grad(ratio.sum(), kappa)
    torch.testing.assert_close(slope, torch.full_like(slope, 1 / dimension), rtol=rtol, atol=0)


@pytest.mark.parametrize("dimension", [2, 256, 1024])
def test_far_beyond_the_grid_it_follows_the_asymptote(dimension):
    """log c_n(κ) → −κ + (n−1)/2·log(κ/2π) and A_n(κ) → 1 − (n−1)/2κ."""
    kappa = torch.tensor([1e8, 1e12, 1e20], dtype=torch.float64)
    asymptote = -kappa + (dimension - 1) / 2 * torch.log(kappa / (2 * math.pi))
    torch.testing.assert_close(log_vmf_normalizer(kappa, dimension), asymptote, rtol=1e-10, atol=0)
    asymptote = 1 - (dimension - 1) / (2 * kappa)
    torch.testing.assert_close(bessel_ratio(kappa, dimension), asymptote, rtol=1e-10, atol=0)
    huge = torch.tensor([1e6, 1e20, 3e38], requires_grad=True)
    log_c = log_vmf_normalizer(huge, dimension)
    (slope,) = torch.autograd.grad(log_c.sum(), huge)
    assert log_c.isfinite().all() and slope.isfinite().all()


def test_any_shape():
    kappa = torch.tensor([[0.5, 20.0, 300.0], [1.0, 40.0, 4000.0]], dtype=torch.float64)
    for function in (log_vmf_normalizer, bessel_ratio):
        for n in (3, 256):
            one_by_one = torch.stack([function(k, n) for k in kappa.flatten()]).reshape(2, 3)
            torch.testing.assert_close(function(kappa, n), one_by_one, rtol=1e-14, atol=0)
        assert function(kappa[:0], 3).shape == (0, 3)
