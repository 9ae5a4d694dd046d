#pragma once
// AdaHessian's passes over memory, for contiguous CPU tensors; their twins in tensor operations
// stand in adahessian.cpp. Blocks are `block` consecutive entries, the last one shorter.
#include <cstdint>

namespace ritz::optim::detail {

/// out[j] = scale * mean over block j of |h|, or of z h where z is given. Reads h (and z) once.
template <class T>
void hessian_block_means(const T* h, const T* z, T* out, int64_t n, int64_t block, double scale);

struct AdaHessianScalars {
  double beta1, beta2, eps, k, shrink;  // w <- shrink w first
  double step_size, v_scale;            // lr / (1 - beta1^t), 1 / (1 - beta2^u)
};
/// D null: v rests. Reads w, g, m, writes w, m; reads D and reads and writes v once a block: 8
/// words an element where blocks are single.
template <class T>
void adahessian(T* w, const T* g, T* m, T* v, const T* D, int64_t n, int64_t block,
                const AdaHessianScalars& scalars);

}  // namespace ritz::optim::detail
