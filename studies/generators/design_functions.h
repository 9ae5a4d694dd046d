#pragma once
// Functions of which the dpp-least-squares study knows the best approximation, and a small
// simulation that takes real time.
//
//   const auto f = ritz::studies::design_function("diffusion", 128);
//   f(points);        // [n, 2] -> [n], one solve a point
#include <cstdint>
#include <string>
#include <vector>

#include "ritz/base/tensor.h"
#include "ritz/design/least_squares.h"

namespace ritz::studies {

/// "bump"       exp(-(x - 1)^2 / 4), one variable
/// "runge"      1 / (1 + 5 x^2), one variable
/// "exponential" exp(-sum_j x_j), any number
/// "diffusion"  two variables, see diffusion_mean; `grid` cells a side
/// InvalidArgument for other words.
design::Function design_function(const std::string& name, int64_t grid = 128);
const std::vector<std::string>& design_function_names();

/// The mean of u over the unit square, where -div(a grad u) = 1 and u = 0 on the boundary, for
/// log a = x_0 cos(pi s) + x_1 cos(2 pi t): `grid`^2 finite volumes, harmonic means of a on their
/// faces, conjugate gradients with Jacobi's preconditioner to a residual of 1e-10. float64 [n, 2]
/// -> [n].
Tensor diffusion_mean(const Tensor& points, int64_t grid);

}  // namespace ritz::studies
