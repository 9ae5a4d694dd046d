#pragma once
// Eight doubles at once, lowered to whatever registers there are; for sources whose functions are
// all inlined into clones (detail/clones.h), so that no calling convention is at stake, which
// -Wpsabi would warn of.
#include "ritz/sequence/detail/clones.h"

#pragma GCC diagnostic ignored "-Wpsabi"

namespace ritz::sequence::detail {

using Double8 = double __attribute__((vector_size(64)));
using Double8InMemory = double __attribute__((vector_size(64), aligned(8), may_alias));
using Float8InMemory = float __attribute__((vector_size(32), aligned(4), may_alias));

RITZ_INLINE Double8 load8(const double* x) {
  return *reinterpret_cast<const Double8InMemory*>(x);
}
RITZ_INLINE Double8 load8(const float* x) {
  return __builtin_convertvector(*reinterpret_cast<const Float8InMemory*>(x), Double8);
}
RITZ_INLINE void store8(double* x, const Double8& value) {
  *reinterpret_cast<Double8InMemory*>(x) = value;
}
RITZ_INLINE void store8(float* x, const Double8& value) {
  *reinterpret_cast<Float8InMemory*>(x) = __builtin_convertvector(value, Float8InMemory);
}

RITZ_INLINE double sum8(const Double8& v) {
  return ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7]));
}

}  // namespace ritz::sequence::detail
