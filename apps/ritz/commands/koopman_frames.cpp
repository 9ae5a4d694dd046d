#include "apps/ritz/commands/koopman_frames.h"

#include <torch/types.h>

#include "apps/ritz/commands/koopman_data.h"
#include "apps/ritz/frame/tensor_run.h"
#include "ritz/base/check_tensor.h"

namespace ritz::app {

KoopmanFrames load_frames(const std::string& path, int64_t dimensions, const TensorOptions& options,
                          Run& run) {
  Tensor x = load_numbers(path, run);
  if (x.is_complex()) throw DataError(path, "real frames", describe(x));
  x = x.to(options);
  if (x.dim() == 1 && dimensions == 1) x = x.unsqueeze(1);  // a series of numbers
  if (x.dim() == dimensions + 1) return {x.unsqueeze(0).contiguous(), true};
  if (x.dim() == dimensions + 2) return {x.contiguous(), false};
  static const char* const kForms[] = {"[T, d] or [N, T, d]", "[T, n, d] or [N, T, n, d]",
                                       "[T, C, H, W] or [N, T, C, H, W]",
                                       "[T, n, C, H, W] or [N, T, n, C, H, W]"};
  throw DataError(path, kForms[dimensions - 1], describe(x));
}

KoopmanQuestion load_question(const std::string& checkpoint, const std::string& frames, Run& run) {
  TensorOptions options = TensorOptions(torch::Device(run.common.device));
  if (!run.common.dtype.empty()) options = tensor_options(run, torch::kFloat32);
  const auto loaded = koopman::learned::load_model(checkpoint, options);
  const auto& o = loaded.model->options();
  const int64_t dimensions =
      static_cast<int64_t>(o.sample.size()) + (loaded.model->graph() ? 1 : 0);
  KoopmanQuestion question{loaded.model, loaded.metadata,
                           load_frames(frames, dimensions, loaded.model->tensor_options(), run)};
  std::vector<int64_t> frame = o.sample;
  if (loaded.model->graph()) frame.insert(frame.begin(), o.relations.size(0));
  const auto found = question.data.frames.sizes().slice(2);
  if (found != at::IntArrayRef(frame)) {
    throw DataError(frames, "frames of the model's shape", describe(question.data.frames),
                    checkpoint);
  }
  check_finite("X", question.data.frames);
  return question;
}

}  // namespace ritz::app
