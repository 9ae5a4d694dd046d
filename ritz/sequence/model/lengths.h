#pragma once
// Sequences whose lengths differ, padded to one: masks, the reversal of each within its length, and
// the packed form in which a padded batch with its lengths is one tensor.
#include <string_view>

#include "ritz/base/tensor.h"

namespace ritz::sequence {

/// int64 [n] in 1..steps; throws InvalidArgument naming the first index that is not. An undefined
/// tensor stands for full length everywhere and passes.
void check_lengths(std::string_view name, const Tensor& lengths, int64_t n, int64_t steps);

/// [n, steps] bool: true where a step is within its sequence.
Tensor length_mask(const Tensor& lengths, int64_t steps);

/// x [n, L, ...] with each sequence reversed within its length; the padding stays where it is.
/// Its own inverse. Undefined lengths: all are L.
Tensor reverse_within(const Tensor& x, const Tensor& lengths);

/// A padded batch and its lengths as one floating tensor, which is what a training loop over
/// samples takes: x [..., L, d] becomes [..., L + 1, d], the last row holding the length in its
/// first column (exact below 2^24 steps in float32). Padding, which may be anything, becomes 0.
/// Undefined lengths: all are L. Leading axes may be any, lengths have them all.
Tensor pack(const Tensor& x, const Tensor& lengths = {});

struct Packed {
  Tensor x;        // [..., L, d], a view
  Tensor lengths;  // int64 [...]; undefined where all are L
};
Packed unpack(const Tensor& packed);

}  // namespace ritz::sequence
