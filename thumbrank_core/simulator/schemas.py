"""The keys that each answer can have, against which `fields` is read. Written in the syntax of `fields` itself.

From the discovery document (revision 20261104), public keys only. The `summary` of videos:batchGetStats is from the
documentation, the `publishTime` of search.list from the field.
"""

from thumbrank_core.simulator.fields import Selection, parse_schema

_THUMBNAILS = ",".join(
    f"{size}(url,width,height)"
    for size in ("default", "medium", "high", "standard", "maxres", "fhd", "qhd", "uhd", "shortsAspectRatio")
)
_TEXT = "localized(title,description)"
_LISTED = "kind,etag,eventId,visitorId"
_PAGED = f"{_LISTED},nextPageToken,prevPageToken,tokenPagination,pageInfo(totalResults,resultsPerPage)"

SCHEMAS: dict[str, Selection] = {
    "search.list": parse_schema(
        f"{_PAGED},regionCode,items(kind,etag,id(kind,videoId,channelId,playlistId),snippet(publishedAt,publishTime,"
        f"channelId,title,description,thumbnails({_THUMBNAILS}),channelTitle,liveBroadcastContent))"
    ),
    "channels.list": parse_schema(
        f"{_PAGED},items(kind,etag,id,"
        f"snippet(title,description,customUrl,publishedAt,thumbnails({_THUMBNAILS}),defaultLanguage,{_TEXT},country),"
        "statistics(viewCount,subscriberCount,hiddenSubscriberCount,videoCount,commentCount),"
        "contentDetails(relatedPlaylists(likes,favorites,uploads,watchHistory,watchLater)),"
        "topicDetails(topicIds,topicCategories),"
        "status(privacyStatus,isLinked,longUploadsStatus,madeForKids,selfDeclaredMadeForKids,"
        "isChannelMonetizationEnabled),"
        "brandingSettings(channel(title,description,keywords,trackingAnalyticsAccountId,unsubscribedTrailer,"
        "defaultLanguage,country),image(bannerExternalUrl)),localizations)"
    ),
    "playlistItems.list": parse_schema(
        f"{_PAGED},items(kind,etag,id,snippet(publishedAt,channelId,title,description,thumbnails({_THUMBNAILS}),"
        "channelTitle,videoOwnerChannelTitle,videoOwnerChannelId,playlistId,position,"
        "resourceId(kind,videoId,channelId,playlistId)),"
        "contentDetails(videoId,startAt,endAt,note,videoPublishedAt),status(privacyStatus))"
    ),
    "videos.list": parse_schema(
        f"{_PAGED},items(kind,etag,id,snippet(publishedAt,channelId,title,description,thumbnails({_THUMBNAILS}),"
        f"channelTitle,tags,categoryId,liveBroadcastContent,defaultLanguage,{_TEXT},defaultAudioLanguage),"
        "contentDetails(duration,dimension,definition,caption,licensedContent,regionRestriction(allowed,blocked),"
        "contentRating,projection,hasCustomThumbnail),"
        "statistics(viewCount,likeCount,dislikeCount,favoriteCount,commentCount),"
        "status(uploadStatus,failureReason,rejectionReason,privacyStatus,publishAt,license,embeddable,"
        "publicStatsViewable,madeForKids,selfDeclaredMadeForKids,containsSyntheticMedia),"
        "topicDetails(topicIds,relevantTopicIds,topicCategories),"
        "liveStreamingDetails(actualStartTime,actualEndTime,scheduledStartTime,scheduledEndTime,concurrentViewers,"
        "activeLiveChatId),paidProductPlacementDetails(hasPaidProductPlacement),"
        "recordingDetails(recordingDate,location,locationDescription),localizations,"
        "player(embedHtml,embedHeight,embedWidth))"
    ),
    "videos.batchGetStats": parse_schema(
        "kind,etag,items(kind,etag,id,snippet(publishTime),contentDetails(duration),"
        "statistics(viewCount,likeCount,commentCount)),"
        "summary(requestedVideoCount,succeededVideoCount,failedVideoCount,failedVideoIds)"
    ),
    "videoCategories.list": parse_schema(f"{_PAGED},items(kind,etag,id,snippet(title,assignable,channelId))"),
    "i18nLanguages.list": parse_schema(f"{_LISTED},items(kind,etag,id,snippet(hl,name))"),
    "i18nRegions.list": parse_schema(f"{_LISTED},items(kind,etag,id,snippet(gl,name))"),
    "videoTrainability.get": parse_schema("kind,etag,videoId,permitted"),
}
"""By method."""
