// Volumes' JSON, shared by their operations.
#pragma once

#include "gateway/api/params.h"
#include "gateway/volume_points.h"

namespace coldshelf::api {

Json point_json(const VolumePoint& point);
Json made_json(const VolumePoints::Made& made);
// Name, SizeInBytes (0 is the lowest size: it may be left out), Mode, BlockBytes.
Result<VolumeService::CreateRequest> volume_request(const Params& in, uint64_t lowest_size);

}  // namespace coldshelf::api
