#pragma once
// Exact projection DPPs of the polynomials of degree < m in one variable, as eigenvalues of random
// tridiagonal matrices (the beta = 2 ensembles): O(m) random numbers and O(m^2) flops.
#include <cstdint>

#include "ritz/design/detail/variates.h"
#include "ritz/design/family.h"

namespace ritz::design::detail {

/// points [m], ascending. From the matrices of Dumitriu & Edelman (2002) and Killip & Nenciu (2004;
/// the last in the form of Gautier, Bardenet & Valko 2021):
///
/// hermite   diagonal N(0, 1), off-diagonal sqrt(chi^2_{2 k} / 2), k = m - 1 ... 1
/// laguerre  B B^T / 2, B lower bidiagonal: diagonal chi_{2 (m - i + a)}, i = 0 ... m - 1, below it
///           chi_{2 (m - i)}, i = 1 ... m - 1
/// jacobi    for the weight y^{A - 1} (1 - y)^{B - 1} on [0, 1], independent
///             odd_i ~ Beta(m - 1 - i + A, m - 1 - i + B), even_i ~ Beta(m - i, m - 1 - i + A + B),
///             xi_odd_i = (1 - even_i) odd_i, xi_even_i = (1 - odd_{i-1}) even_i, even_0 = 0,
///             diagonal xi_even_i + xi_odd_i, off-diagonal^2 xi_odd_i xi_even_{i+1};
///           x = 1 - 2 y, so A = a + 1 and B = b + 1
void draw_tridiagonal_dpp(const Family& family, int64_t m, Variates& variates, double* points);

}  // namespace ritz::design::detail
