//! The known ways in which SCIM servers lie, are late, or lack a part of the standard.
//!
//! Owns the list; `server` is what falls for them. Each trap is what a real program was seen to do.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trap {
    None,
    /// No more than one resource per page, whatever is asked for.
    SmallPages,
    /// Beyond the end the first page is served again.
    FirstPageAgain,
    /// `startIndex` is not looked at.
    IgnoresStart,
    /// `totalResults` counts the page.
    TotalOfPage,
    /// `startIndex` is not looked at, and `totalResults` counts the page.
    OnlyFirstPage,
    /// `totalResults` counts more than is shown.
    TotalTooHigh,
    /// A user is deleted while the pages are read.
    DeletedMeanwhile,
    /// Two users are deleted before the last page is asked for, which is then empty.
    DeletedAtTheEnd,
    /// Later pages lack a declared field.
    LacksField,
    /// Later pages are cut off in the middle.
    CutJson,
    /// A sign-in page instead of an answer.
    Html,
    /// Later pages fail with this status.
    LaterPages(u16),
    /// Groups may not be read.
    GroupsDenied,
    /// The filter is not applied: all groups come.
    FilterIgnored,
    /// The filter finds nothing, whatever is there.
    FilterBlind,
    /// A list of groups leaves the members out.
    MembersOnlySingly,
    /// A list of groups shows an empty list of members.
    MembersEmptyInList,
    /// Every group shows an empty list of members.
    MembersHidden,
    /// No group shows more than so many of its members.
    MembersCut(usize),
    /// The list of groups is empty, and none is found by its id.
    GroupsUnseen,
    /// Answers come from a cache: users 7 seconds old, groups 40.
    Aged,
    /// Answers come from a cache that says no number.
    AgeUnreadable,
    /// Lists are answered 206.
    HalfOfLists,
    /// Single resources are answered 206.
    HalfOfOne,
    /// A filtered removal is answered 200 and does nothing.
    RemovalIgnored,
    /// Any PATCH is answered 200 and does nothing.
    PatchIgnored,
    /// A removal with a value removes all members.
    ValueRemovesAll,
    /// No PATCH.
    NoPatch,
    /// No PATCH, and the resource changes before each PUT.
    NoPatchAndRaced,
    /// No PATCH and no versions.
    NoPatchNoVersion,
    /// `active` is a string, and only the bare form of PATCH is taken.
    Peculiar,
    /// Changes are answered 202 and happen never.
    Pending,
    /// A DELETE is answered 404 and does nothing.
    DeleteLies,
    /// The id shows another user.
    Recycled,
    /// A PATCH is answered 200 with the resource.
    AnswersWhole,
    /// A PATCH is answered 200 with half a document.
    AnswersHalf,
    /// Paths with a filter are refused.
    PathsRefused,
    /// The same, and no versions.
    PathsRefusedNoVersion,
    /// PATCH is announced, and answered 501.
    AnnouncedOnly,
    /// Neither PATCH nor filters are announced, and both are refused.
    AnnouncesNothing,
    /// Changes are taken to a named version only.
    VersionRequired,
    /// No PATCH; a version is shown, `If-Match` is not looked at, and somebody takes bob out before each PUT.
    VersionIgnored,
    /// Every change finds another version.
    AlwaysRaced,
    /// The list of users leaves out who is not active.
    HidesDisabled,
    /// Somebody else is faster with every removal, which is then answered with this status.
    SecondRemoval(u16),
    /// The token may only read.
    ReadsOnly,
    /// A change is refused with 500, and nothing is done.
    Fails,
    /// A change is answered 429, and asks to wait a minute.
    SlowDown,
    /// The same, with a date to wait for.
    SlowDownUntil,
}
