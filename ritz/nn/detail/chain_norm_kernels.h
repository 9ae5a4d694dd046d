#pragma once
// The passes over memory of norms and of GELU's slopes, for contiguous CPU arrays; their twins in
// tensor operations stand in chain_norm.cpp and chain_pointwise.cpp.
#include <cstdint>
#include <vector>

namespace ritz::nn::detail {

/// Rows [n, channels], row after row. sums[q, c] = sum over rows of first_q[., c] second_q[., c],
/// or of first_q alone where second_q is null; in float64. Reads each array once a quantity.
template <class T>
struct ChannelProduct {
  const T *first, *second;
};
template <class T>
std::vector<double> channel_sums(const std::vector<ChannelProduct<T>>& quantities, int64_t n,
                                 int64_t channels);

/// out[., c] = sum_q coefficients[q, c] terms_q[., c] + coefficients[terms, c]; out may be a term.
template <class T>
void channel_combination(const std::vector<const T*>& terms,
                         const std::vector<double>& coefficients, T* out, int64_t n,
                         int64_t channels);

/// What layer norm's rules (chain_norm.cpp) read of one tangent; rows of w entries, a row of
/// values every w, of tangents every `stride`.
template <class T>
struct LayerNormRows {
  int64_t n, w, stride;
  const T *hat, *r, *gain;
};
/// R y, R x^ (where not null) and a of R x.
template <class T>
void layer_norm_forward_tangent(const LayerNormRows<T>& rows, const T* Rx, const T* gain_tangent,
                                const T* bias_tangent, T* Ry, T* Rhat, T* a);
/// dx (where not null); adds dg and db [w], where not null.
template <class T>
void layer_norm_backward(const LayerNormRows<T>& rows, const T* dy, T* dx, T* dg, T* db);
/// R dx (where not null), with the second-order terms where dy and Rhat are given; adds R dg and
/// R db [w].
template <class T>
void layer_norm_backward_tangent(const LayerNormRows<T>& rows, const T* Rdy, const T* gain_tangent,
                                 const T* dy, const T* Rhat, const T* a, T* Rdx, T* Rdg, T* Rdb);

/// x Phi(x), its slope and bend; `erf` of x / sqrt(2) becomes the slope, `phi`, the normal density,
/// the bend.
template <class T>
void gelu_slopes(const T* x, T* value, T* erf, T* phi, int64_t n);

}  // namespace ritz::nn::detail
