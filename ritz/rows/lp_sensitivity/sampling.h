#pragma once
// From scores to a weighted sample of rows. Row i is kept with probability q_i and gets weight
// 1/q_i inside |.|^p: E sum_kept |a_i x|^p / q_i = ||A x||_p^p for every x.
#include <cstdint>
#include <string_view>

#include "ritz/base/tensor.h"

namespace ritz::rows {

enum class Sampler {
  bernoulli,    // each row by itself, u_i < q_i; the theory's. The size is random, m on average
  multinomial,  // m draws with replacement; weights count / (m p_i)
  systematic,   // one offset on the cumulated q: size m, less variance, no theory
};
/// "bernoulli", "multinomial", "systematic"; InvalidArgument for other names.
Sampler parse_sampler(std::string_view name);

/// q_i = min(1, c s_i) with sum q = m ("water filling": rows that reach 1 stay with weight 1, and
/// the others share what is left). scores [n] >= 0; where fewer than m are positive, they all
/// get 1. m is any number > 0. Sorting: O(n log n).
Tensor fixed_size_probabilities(const Tensor& scores, double m);
/// q_i = min(1, floor + s_i / alpha) for s_i > 0: the sample grows until it is good enough. 0 where
/// the score is.
Tensor scaled_probabilities(const Tensor& scores, double alpha, double floor);

struct Sample {
  Tensor indices;  // int64 [k], ascending
  Tensor weights;  // float64 [k]
};

/// One draw. `ids` [n] int64 (undefined: 0, 1, ...) are the rows' global numbers: the uniform
/// number of a row is a function of (seed, round, id), whatever other rows are there. multinomial
/// takes p_i = q_i / sum q and round(sum q) draws.
Sample draw_sample(const Tensor& probabilities, Sampler sampler, uint64_t seed, uint64_t round = 0,
                   const Tensor& ids = {});

}  // namespace ritz::rows
