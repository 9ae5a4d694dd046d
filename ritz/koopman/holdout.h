#pragma once
// Residuals on pairs that nothing was fitted to, and how far sampling may have flattered them.
#include "ritz/koopman/edmd.h"

namespace ritz::koopman {

struct HoldoutOptions {
  int64_t replicas = 1000;
  double level = 0.95;
  uint64_t seed = 0;
  int64_t block = 4096;                 // rows at a time
  dist::ProcessGroup* group = nullptr;  // ranks that share the pairs
};

struct HoldoutResiduals {
  Tensor residuals;  // float64 [k]: ||sqrt(W)(PY - z PX) v|| / ||sqrt(W) PX v||; infinite where the
                     // function vanishes on these data
  Tensor upper;      // float64 [k]: the bootstrap's upper value at `level`, at least `residuals`;
                     // infinite where there is one block
  int64_t blocks = 0;  // what the bootstrap drew: whole trajectories, or stretches of them
};

/// `values` [k] and `vectors` [n, k] belong to the functions `kept` of the dictionary.
///
/// The bootstrap draws blocks with replacement, as neighbours in time are not independent: whole
/// trajectories where there are 20 or more, else stretches of about the square root of each
/// trajectory's length; pairs given without order are blocks by themselves, joined to 1000 of
/// equal size where there are more. Sums over a block are kept, so a replica costs a product.
HoldoutResiduals holdout_residuals(const Dictionary& dictionary, const Tensor& kept,
                                   const Snapshots& holdout, const Tensor& values,
                                   const Tensor& vectors, const HoldoutOptions& options = {});

/// int64 [M]: the block of the bootstrap that each pair belongs to, rising from 0.
Tensor bootstrap_blocks(const Snapshots& snapshots);

}  // namespace ritz::koopman
