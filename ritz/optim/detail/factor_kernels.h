#pragma once
// The two passes over a symmetric factor M [d, d] that renew it, for contiguous CPU tensors. Their
// reference twin, in tensor operations, stands in ritz/optim/mkor/inverse_factor.cpp and serves
// every other device. All instruction sets and numbers of threads give the same bits.
#include <cstdint>

namespace ritz::optim::detail {

/// How M is stored. Arithmetic is float64 for float64, else float32, rounded once when stored.
enum class Stored { float32, float64, float16, bfloat16 };

struct FactorNorms {
  double entry = 0, row_sum = 0;  // largest |M_ij|; largest sum_j |M_ij|
};

/// u <- M v and the norms of M: reads M once. u and v are of the arithmetic's type.
FactorNorms factor_times_vector(Stored stored, const void* M, const void* v, void* u, int64_t d);

/// M <- alpha M + beta I + sign w w^T with sign +1 or -1, exactly symmetric: reads and writes M
/// once. False where an entry is not finite in M's format; M is of no use then.
bool add_rank_one(Stored stored, void* M, const void* w, int64_t d, double alpha, double beta,
                  double sign);

}  // namespace ritz::optim::detail
