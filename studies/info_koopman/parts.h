#pragma once
// The parts of the study of information-shaped Koopman models, and what they share.
#include <memory>
#include <string>

#include "ritz/koopman/learned/training.h"
#include "studies/study.h"

namespace ritz::studies::info_koopman {

/// (A) Water-filling: the closed forms beside a maximisation over whole matrices.
void water_filling(const StudyContext& context, StudyResult& result);
/// (B) Two oscillators: what entropy and mutual information do to the weak one.
void oscillators(const StudyContext& context, StudyResult& result);
/// (C) Lorenz 63: forecasts and invariant density beside the baselines.
void lorenz(const StudyContext& context, StudyResult& result);

/// A model trained on `data` by one process, no files, the rate constant.
std::shared_ptr<koopman::learned::Model> trained(const koopman::learned::ModelOptions& model,
                                                 const koopman::learned::TrainingOptions& options,
                                                 const koopman::learned::Trajectories& data);

double mean(const std::vector<double>& values);
/// `name` with its mean, and every value of it where there are several.
void add_values(Claim& claim, const std::string& name, const std::vector<double>& values);

}  // namespace ritz::studies::info_koopman
