#pragma once
// What `ritz sequence train` and `predict` do alike with their options.
#include <optional>
#include <string>

#include "apps/ritz/commands/sequence_data_options.h"
#include "apps/ritz/frame/run.h"
#include "ritz/sequence/model/data.h"
#include "ritz/sequence/model/model.h"

namespace ritz::app {

/// dtype (float32 unless --dtype says) and device of the line; `local_rank` picks the GPU.
TensorOptions tensor_options(const Run& run, int local_rank = 0);

sequence::DataOptions data_options_of(const SequenceDataOptions& options,
                                      const TensorOptions& tensor);

/// "optimised", "ginibre", "path", "none" or "file:E.npy" into the layer's options.
void set_perturbation(const std::string& method, std::optional<double> rho, uint64_t seed,
                      sequence::LayerOptions& layer);

/// DataError where sequences do not fit a model of these options: channels, tokens, pairs.
void check_fits(const sequence::ModelOptions& options, const sequence::SequenceData& data,
                const std::string& file);

/// Inputs and notes, for JSON and standard error.
void tell_inputs(const sequence::SequenceData& data, Run& run);
/// Steps, channels, the modes there are and how far the fastest state turns in a step.
void tell_model(const sequence::SequenceModel& model, const sequence::SequenceData& data, Run& run);

}  // namespace ritz::app
