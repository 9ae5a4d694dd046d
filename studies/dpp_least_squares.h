#pragma once
#include "studies/study.h"

namespace ritz::studies {

StudyResult study_dpp_least_squares(const StudyContext& context);

}  // namespace ritz::studies
