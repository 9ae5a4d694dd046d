#pragma once
// Tall matrices whose l_p sensitivities are known: what lp-sensitivity's studies sample from.
//
//   const auto made = ritz::studies::block_leverage({.dim = 10});
//   // made.matrix = made.blocks made.transform: the blocks are hidden, their truth is known
#include <cstdint>

#include "ritz/base/tensor.h"

namespace ritz::studies {

/// matrix [n, d] = (block-diagonal) transform; sigma, tau and w do not see the transform.
struct HiddenBlocks {
  Tensor matrix;
  Tensor transform;              // [d, d] Gaussian; the identity where it is not hidden
  int64_t heavy = 0, light = 0;  // rows of a coordinate
};

struct BlockLeverageOptions {
  int64_t dim = 10;      // coordinates
  int64_t heavy = 50;    // rows of size 1 / heavy, a coordinate
  int64_t light = 5000;  // rows of size 1 / light, a coordinate
  bool hide = true;
  uint64_t seed = 0;
};
/// Each coordinate has two halves of one l_1 mass: few large rows, which carry nearly all of the
/// l_2 mass, and many small ones, which leverage sampling misses. p = 1: sensitivities 1 / (2
/// heavy) and 1 / (2 light), S = dim. Rows: for each coordinate its heavy, then its light ones.
HiddenBlocks block_leverage(const BlockLeverageOptions& options);

struct MomentBlocksOptions {
  int64_t coordinates = 640;
  int64_t few = 20, many = 180;  // equal rows of the first and of the second half's coordinates
  double p = 6;
};
/// Every coordinate has unit l_p mass in k equal rows of size k^(-1/p): sensitivity, Lewis weight
/// and leverage are all 1 / k. [coordinates (few + many) / 2, coordinates], not hidden.
Tensor moment_blocks(const MomentBlocksOptions& options);

struct TallRowsOptions {
  int64_t rows = 20000, dim = 10;
  double tail = 1.5;  // pareto_rows: index of the law of the lengths
  uint64_t seed = 0;
};
/// Independent standard normal entries.
Tensor gaussian_rows(const TallRowsOptions& options);
/// n sigma_i tends to |a_i|^p / E|g|^p, and S to this (F7): E ||g_d||_2^p / E |g|^p.
double gaussian_total_sensitivity(int64_t dim, double p);
/// Gaussian rows times Pareto lengths u^(-1/tail) - 1 (the law from zero on, as numpy's `pareto`
/// draws it): rows of all lengths.
Tensor pareto_rows(const TallRowsOptions& options);
/// Legendre polynomials of degree 0 ... dim - 1 on a uniform grid of [-1, 1].
Tensor legendre_rows(int64_t rows, int64_t dim);

struct RobustRegressionOptions {
  int64_t rows = 200000, dim = 20;
  double tail = 2;          // of the rows' lengths
  double freedom = 1.5;     // degrees of freedom of the noise (Student's t)
  double background = 0.1;  // deviation of what is added to every entry
  uint64_t seed = 0;
};
struct RegressionData {
  Tensor A, b, solution;  // b = A solution + t noise
};
/// A = Gaussian rows times Pareto(tail) lengths, as above, + background Gaussian, without which
/// short rows would be nothing.
RegressionData robust_regression(const RobustRegressionOptions& options);

}  // namespace ritz::studies
