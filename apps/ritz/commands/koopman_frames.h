#pragma once
// Frames of learned Koopman models, as files hold them.
#include "apps/ritz/frame/run.h"
#include "ritz/koopman/learned/model_file.h"
#include "ritz/koopman/learned/trajectories.h"

namespace ritz::app {

/// [N, T, frame...] out of a file; `single` where the file had no dimension of trajectories.
struct KoopmanFrames {
  Tensor frames;
  bool single = false;
};
/// `dimensions` of a frame: 1 for a vector, 3 for a field, one more with objects.
KoopmanFrames load_frames(const std::string& path, int64_t dimensions, const TensorOptions& options,
                          Run& run);

/// A model with the raw frames that it is asked about, on one dtype and device.
struct KoopmanQuestion {
  std::shared_ptr<koopman::learned::Model> model;
  std::map<std::string, std::string> metadata;
  KoopmanFrames data;
};
KoopmanQuestion load_question(const std::string& checkpoint, const std::string& frames, Run& run);

}  // namespace ritz::app
