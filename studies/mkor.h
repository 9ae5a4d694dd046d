#pragma once
#include "studies/study.h"

namespace ritz::studies {

/// MKOR and MKOR-H: steps, cost of a renewal, words, switch. studies/mkor.cpp.
StudyResult study_mkor(const StudyContext& context);

}  // namespace ritz::studies
