// Who am I, how many are we, and where do we meet: read from the launchers' environment variables.
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <optional>

#include "ritz/base/error.h"
#include "ritz/dist/process_group.h"

namespace ritz::dist {

namespace {

std::optional<std::string> variable(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return std::string(value);
}

std::string required(const char* name, const char* because) {
  if (auto value = variable(name)) return *value;
  throw InvalidArgument(name, std::string("set, because ") + because, "nothing", "environment");
}

int64_t number(const char* name, const std::string& text, int64_t low, int64_t high) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < low || value > high) {
    throw InvalidArgument(name,
                          "an integer from " + std::to_string(low) + " to " + std::to_string(high),
                          text, "environment");
  }
  return value;
}

int64_t number_or(const char* name, int64_t low, int64_t high, int64_t otherwise) {
  const auto text = variable(name);
  return text ? number(name, *text, low, high) : otherwise;
}

constexpr int64_t kMostRanks = 1 << 24;

void set_place(Ranks& ranks, const char* rank_name, const char* size_name) {
  ranks.world_size =
      static_cast<int>(number(size_name, required(size_name, "a rank is"), 1, kMostRanks));
  ranks.rank = static_cast<int>(
      number(rank_name, required(rank_name, "a world size is"), 0, ranks.world_size - 1));
}

Ranks from_torchrun() {
  Ranks ranks{.launcher = Launcher::torchrun};
  set_place(ranks, "RANK", "WORLD_SIZE");
  ranks.local_rank = static_cast<int>(number_or("LOCAL_RANK", 0, kMostRanks, 0));
  ranks.address = required("MASTER_ADDR", "RANK and WORLD_SIZE are");
  ranks.port = static_cast<int>(
      number("MASTER_PORT", required("MASTER_PORT", "RANK and WORLD_SIZE are"), 1, 65535));
  const bool loopback = ranks.address == "localhost" || ranks.address.starts_with("127.");
  ranks.one_machine =
      loopback || number_or("LOCAL_WORLD_SIZE", 1, kMostRanks, 0) == ranks.world_size;
  // torchrun's agent may hold the store itself; a second server on its port would fail.
  ranks.serve_store =
      ranks.rank == 0 && variable("TORCHELASTIC_USE_AGENT_STORE").value_or("") != "True";
  ranks.prefix = "ritz/" + variable("TORCHELASTIC_RESTART_COUNT").value_or("0");
  return ranks;
}

Ranks from_mpirun() {
  Ranks ranks{.launcher = Launcher::mpirun};
  set_place(ranks, "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE");
  ranks.local_rank = static_cast<int>(number_or("OMPI_COMM_WORLD_LOCAL_RANK", 0, kMostRanks, 0));
  ranks.one_machine = number_or("OMPI_COMM_WORLD_LOCAL_SIZE", 1, kMostRanks, 0) == ranks.world_size;
  ranks.prefix = "ritz";
  if (const auto address = variable("MASTER_ADDR")) {
    ranks.address = *address;
    ranks.port = static_cast<int>(number_or("MASTER_PORT", 1, 65535, 29500));
    ranks.serve_store = ranks.rank == 0;
  } else if (!ranks.one_machine) {
    required("MASTER_ADDR", "mpirun's ranks are on several machines (mpirun -x MASTER_ADDR=HOST)");
  } else if (const auto folder = variable("PMIX_SERVER_TMPDIR")) {
    // This folder is private to one mpirun, which removes it at its end: no port to collide on, no
    // file of an earlier run to mistake for ours.
    ranks.file = *folder + "/ritz-rendezvous";
  } else {
    const std::string job =
        variable("PMIX_NAMESPACE").value_or(variable("OMPI_MCA_ess_base_jobid").value_or("job"));
    ranks.file =
        (std::filesystem::temp_directory_path() /
         ("ritz-" + std::to_string(getuid()) + "-" + job + "-" + std::to_string(getppid())))
            .string();
  }
  return ranks;
}

Ranks from_slurm() {
  Ranks ranks{.launcher = Launcher::slurm};
  const bool step_count = variable("SLURM_STEP_NUM_TASKS").has_value();
  set_place(ranks, "SLURM_PROCID", step_count ? "SLURM_STEP_NUM_TASKS" : "SLURM_NTASKS");
  if (ranks.world_size == 1) return {};
  ranks.local_rank = static_cast<int>(number_or("SLURM_LOCALID", 0, kMostRanks, 0));
  const bool step_nodes = variable("SLURM_STEP_NODELIST").has_value();
  const char* nodes = step_nodes ? "SLURM_STEP_NODELIST" : "SLURM_NODELIST";
  ranks.one_machine =
      number_or(step_nodes ? "SLURM_STEP_NUM_NODES" : "SLURM_NNODES", 1, kMostRanks, 0) == 1;
  ranks.address = variable("MASTER_ADDR")
                      .value_or(ranks.one_machine ? "127.0.0.1"
                                                  : first_host(required(nodes, "SLURM_PROCID is")));
  // Two steps that share a host must not share a port; the range lies below the ephemeral ports.
  const int64_t job = number_or("SLURM_JOB_ID", 0, INT64_MAX / 2, 0);
  const int64_t step = number_or("SLURM_STEP_ID", 0, INT64_MAX / 2, 0);
  const int64_t derived = 15000 + (job % 15000 * 31 + step % 15000) % 15000;
  ranks.port = static_cast<int>(number_or("MASTER_PORT", 1, 65535, derived));
  ranks.serve_store = ranks.rank == 0;
  ranks.prefix = "ritz";
  return ranks;
}

}  // namespace

std::string first_host(std::string_view list) {
  // The first host ends at the first comma outside brackets; of "[a-b,c]" it takes "a".
  std::string host;
  bool inside = false, taken = false;
  for (const char c : list) {
    if (c == '[') {
      inside = true;
      taken = false;
    } else if (c == ']') {
      inside = false;
    } else if (inside) {
      taken = taken || c == '-' || c == ',';
      if (!taken) host += c;
    } else if (c == ',') {
      break;
    } else {
      host += c;
    }
  }
  if (host.empty() || inside) {
    throw InvalidArgument("node list", "hosts such as n[01-04],m2", list, "environment");
  }
  return host;
}

Ranks discover_ranks() {
  if (variable("RANK") && variable("WORLD_SIZE")) return from_torchrun();
  if (variable("OMPI_COMM_WORLD_SIZE")) return from_mpirun();
  // Inside an allocation SLURM_PROCID is set for plain programs too; only a step has several of
  // them.
  if (variable("SLURM_STEP_ID") && variable("SLURM_PROCID")) return from_slurm();
  return {};
}

}  // namespace ritz::dist
