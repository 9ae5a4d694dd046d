#pragma once
// The optimisers' update rules as single passes over memory, for contiguous CPU tensors of float32
// and float64. Their reference twins, in tensor operations, stand in the optimisers' own sources
// and serve every other device and layout. Scalars are computed in double by the caller and rounded
// once.
#include <cstdint>

namespace ritz::optim::detail {

struct SgdScalars {
  double lr, momentum, gradient_weight, weight_decay;  // gradient_weight: 1 - dampening, 1 at first
  bool nesterov;
};
/// Without momentum (b null): reads w, g, writes w; with it reads and writes b too: 5 words an
/// element.
template <class T>
void sgd(T* w, const T* g, T* b, int64_t n, const SgdScalars& scalars);

struct AdamScalars {
  double beta1, beta2, eps, coupled_decay, shrink;  // w <- shrink w first: 1 - lr weight_decay
  double step_size, inverse_root;                   // lr / (1 - beta1^t), 1 / sqrt(1 - beta2^t)
};
/// Reads w, g, m, v, writes w, m, v: 7 words an element.
template <class T>
void adam(T* w, const T* g, T* m, T* v, int64_t n, const AdamScalars& scalars);

struct AdagradScalars {
  double lr, eps, weight_decay;
};
/// Reads w, g, s, writes w, s: 5 words an element.
template <class T>
void adagrad(T* w, const T* g, T* s, int64_t n, const AdagradScalars& scalars);

struct LambScalars {
  double beta1, beta2, eps, weight_decay;
  double m_scale, root_scale;  // 1 / (1 - beta1^t), 1 / sqrt(1 - beta2^t); 1 where not corrected
};
struct LambNorms {
  double w2 = 0, r2 = 0;  // |w|^2, |r|^2
};
/// Updates m and v, leaves r in `r` where that is not null, and sums the two norms: reads w, g, m,
/// v, writes m, v and perhaps r. The sums are taken over fixed blocks and added in order, so they
/// do not depend on the number of threads.
template <class T>
LambNorms lamb_moments(const T* w, const T* g, T* m, T* v, T* r, int64_t n,
                       const LambScalars& scalars);
/// w <- w - rate r. With r as lamb_moments left it, 3 words an element, which are still in the
/// cache where the tensor is small enough; with r null it is made again from m and v: 4 words.
template <class T>
void lamb_apply(T* w, const T* m, const T* v, const T* r, int64_t n, double rate,
                const LambScalars& scalars);

}  // namespace ritz::optim::detail
