#pragma once
// Greedy removal of points from a design (Haberstich, Nouy & Perrin 2019).
#include <vector>

#include "ritz/design/design.h"

namespace ritz::design::detail {

/// `rows` float64 [n, m], sqrt(w_i) phi(x_i). While more than `keep` are left and G without one of
/// them stays in the event, removes the one for which the deviation is least. Tried are the
/// `candidates` rows whose removal helps most along the extreme eigenvector of G (0: all). Returns
/// the rows kept, ascending.
std::vector<int64_t> remove_greedily(const Tensor& rows, Event event, double delta, int64_t keep,
                                     int64_t candidates);

}  // namespace ritz::design::detail
