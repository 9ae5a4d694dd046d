#pragma once
#include "studies/study.h"

namespace ritz::studies {

StudyResult study_mfac(const StudyContext& context);

}  // namespace ritz::studies
