#pragma once
// The exponent of an l_p norm, checked.
#include <cmath>

#include "ritz/base/check.h"

namespace ritz::rows::detail {

inline void check_exponent(double p) {
  if (std::isinf(p) && p > 0)
    throw InvalidArgument("p", "a finite number (sampling cannot keep the largest entry)", "inf");
  if (!(p >= 1)) throw InvalidArgument("p", "a number >= 1 (below it is no norm)", number_text(p));
}

}  // namespace ritz::rows::detail
