#pragma once
// Trajectories and the windows that a Koopman model learns from.
//
//     #include "ritz/koopman/learned/trajectories.h"
//     #include <torch/types.h>
//     int main() {
//       const ritz::koopman::learned::Trajectories data{torch::rand({3, 20, 2})};
//       const auto starts = ritz::koopman::learned::windows(data, 5);  // of 6 frames each
//       return starts.size(0) == 3 * 15 ? 0 : 1;
//     }
#include <cstdint>
#include <string_view>

#include "ritz/base/tensor.h"

namespace ritz::dist {
class ProcessGroup;
}

namespace ritz::koopman::learned {

struct Trajectories {
  Tensor frames;        // [N, L, (objects,) sample...], real
  Tensor actions = {};  // [N, L, (objects,) m] (or L - 1): action n leads from frame n to n + 1
  Tensor mask = {};     // bool [N, L]: frames that are there; undefined: all are

  int64_t count() const { return frames.size(0); }
  int64_t length() const { return frames.size(1); }
  /// Trajectories [from, from + n).
  Trajectories part(int64_t from, int64_t n) const;
  /// Frames [from, from + n) of each.
  Trajectories span(int64_t from, int64_t n) const;
};

/// Throws InvalidArgument: fewer than 2 frames, actions or a mask of another shape, NaN or Inf in a
/// frame (or action) that the mask does not leave out, with its index.
void check_trajectories(const Trajectories& data);

/// int64 [W, 2], (trajectory, first frame) of every window of `steps` + 1 frames that all are
/// there. Throws InvalidArgument where a window is longer than the trajectories.
Tensor windows(const Trajectories& data, int64_t steps);

/// Frames [B, steps + 1, ...] of the windows `starts` [B, 2]; `offset` frames later.
Tensor gather_frames(const Tensor& values, const Tensor& starts, int64_t frames,
                     int64_t offset = 0);

struct Scale {
  Tensor mean, deviation;  // broadcast against a frame
};
/// What is shared by a mean and a deviation: `channel`, each number of a vector [D] and each
/// channel of a field [C, H, W]; `pixel`, a mean for each number and one deviation over all.
enum class Scaling { channel, pixel, none };
Scaling parse_scaling(std::string_view name);
/// Over all frames that are there (with `group`: of all ranks, each giving its trajectories),
/// objects taken together (`sample` dimensions of a frame). Throws InvalidArgument naming a channel
/// whose variance is zero.
Scale scale_of(const Trajectories& data, int64_t sample_dimensions, Scaling scaling,
               dist::ProcessGroup* group = nullptr);

}  // namespace ritz::koopman::learned
