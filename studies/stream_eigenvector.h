#pragma once
#include "studies/study.h"

namespace ritz::studies {

StudyResult study_stream_eigenvector(const StudyContext& context);

}  // namespace ritz::studies
