#pragma once
// Eight numbers at once, lowered to whatever registers there are. No function may take or return
// one by value: its calling convention differs between instruction sets.
namespace ritz::detail {

using Double8 = double __attribute__((vector_size(64)));

/// Eight numbers in memory, at any multiple of their own size.
template <class Scalar>
struct Eight;
template <>
struct Eight<float> {
  using Type = float __attribute__((vector_size(32), aligned(4), may_alias));
};
template <>
struct Eight<double> {
  using Type = double __attribute__((vector_size(64), aligned(8), may_alias));
};

}  // namespace ritz::detail
