#pragma once
// Parts B and R of the study: state-space models as classifiers of digits and of measured series,
// clean and while a narrow band is added to the input of every layer.
#include "studies/study.h"

namespace ritz::studies::ptd_ssm {

/// B: digits as sequences of 256 pixels; S4, S4D and S4-PTD that differ in (A, B) alone.
void robust_digits(const StudyContext& context, StudyResult& result);
/// R1 to R3: S4D, S4, S5, S4-PTD and GRU on equal budgets.
void real_series(const StudyContext& context, StudyResult& result);

}  // namespace ritz::studies::ptd_ssm
