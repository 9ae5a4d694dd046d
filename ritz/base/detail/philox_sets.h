#pragma once
// The instruction sets that Philox's numbers are made with, one by one for the test that all give
// the same bits; everybody else gets the best one that the processor has.
#include "ritz/base/philox.h"

namespace ritz::detail {

enum class InstructionSet { portable, avx2, avx512 };

/// True where this processor has it.
bool has(InstructionSet set);

void philox_words(InstructionSet set, const PhiloxStream& from, uint32_t* out, int64_t n);
/// Standard normal ones.
void philox_normal(InstructionSet set, const PhiloxStream& from, float* out, int64_t n);
void philox_normal(InstructionSet set, const PhiloxStream& from, double* out, int64_t n);

}  // namespace ritz::detail
