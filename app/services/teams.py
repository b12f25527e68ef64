"""Teams and who is in them."""

import re

from flask import current_app
from sqlalchemy import func
from sqlalchemy.exc import IntegrityError

from app.errors import Conflict, Forbidden, NotFound, Refused
from app.extensions import db
from app.models import Membership, Team, User, now
from app.services import audit, links, mails, site

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ._'+-]{0,38}[A-Za-z0-9])?")
RESERVED = {"new team", "house", "none", "new", "join"}


def of(user: User) -> Team | None:
    """The team that a person is in."""
    return db.session.scalar(
        db.select(Team).join(Membership).where(Membership.user_id == user.id, Membership.left_at.is_(None))
    )


def named(name: str) -> Team:
    """The team of this name."""
    team = db.session.scalar(db.select(Team).where(func.lower(Team.name) == name.strip().lower()))
    if team is None:
        raise NotFound("There is no team of this name.")
    return team


def members(team: Team) -> list[User]:
    """The people in a team, the captain first."""
    return list(
        db.session.scalars(
            db.select(User)
            .join(Membership)
            .where(Membership.team_id == team.id, Membership.left_at.is_(None))
            .order_by(Membership.seat)
        )
    )


def captain(team: Team) -> User | None:
    """The holder of the lowest seat."""
    return next(iter(members(team)), None)


def history(team: Team) -> list[Membership]:
    """Everybody who ever was in the team."""
    return list(
        db.session.scalars(db.select(Membership).where(Membership.team_id == team.id).order_by(Membership.joined_at))
    )


def by_id(identity: int) -> Team:
    """The team with this id."""
    team = db.session.get(Team, identity)
    if team is None:
        raise NotFound("There is no such team.")
    return team


def everyone(with_house: bool = False) -> list[Team]:
    """All teams by name."""
    query = db.select(Team).order_by(func.lower(Team.name))
    return list(db.session.scalars(query if with_house else query.where(Team.is_house.is_(False))))


def open_teams() -> list[Team]:
    """Teams that anybody may join and that have a free seat."""
    taken = (
        db.select(func.count())
        .where(Membership.team_id == Team.id, Membership.left_at.is_(None))
        .correlate(Team)
        .scalar_subquery()
    )
    query = db.select(Team).where(
        Team.is_house.is_(False), Team.is_open.is_(True), taken > 0, taken < current_app.config["MAX_TEAM_SIZE"]
    )
    return list(db.session.scalars(query.order_by(func.lower(Team.name))))


def found(user: User, name: str) -> Team:
    """A new team with its founder as captain, in the open transaction."""
    team = Team(name=_free_name(name))
    db.session.add(team)
    db.session.flush()
    take_seat(user, team)
    return team


def _free_name(name: str, team: Team | None = None) -> str:
    """The name without needless spaces, if no other team than `team` has it, in any case of letters."""
    name = " ".join(name.split())
    if not NAME.fullmatch(name) or name.lower() in RESERVED or name.lower().startswith("house"):
        raise Refused(
            "A team name has 1 to 40 letters, digits, spaces or . _ ' + -, and is not a word that the site uses itself."
        )
    holder = db.session.scalar(db.select(Team).where(func.lower(Team.name) == name.lower()))
    if holder is not None and holder is not team:
        raise Conflict("There is already a team of this name.")
    return name


def take_seat(user: User, team: Team, by_invitation: bool = False) -> None:
    """Put a person into a free seat, in the open transaction."""
    if user.is_admin:
        raise Forbidden("Admins are in no team.")
    if team.is_house:
        raise Forbidden("Nobody joins the house.")
    if not (team.is_open or by_invitation):
        raise Forbidden("This team takes members by invitation only.")
    _sit(user, team)


def _sit(user: User, team: Team) -> None:
    if of(user):
        raise Conflict("You are in a team already.")
    taken = set(
        db.session.scalars(
            db.select(Membership.seat).where(Membership.team_id == team.id, Membership.left_at.is_(None))
        )
    )
    free = sorted(set(range(1, current_app.config["MAX_TEAM_SIZE"] + 1)) - taken)
    if not free:
        raise Conflict("This team is full.")
    db.session.add(Membership(user_id=user.id, team_id=team.id, seat=free[0]))
    # Two people who take the last seat in the same moment meet the database's unique index here.
    db.session.flush()


def create(user: User, name: str) -> Team:
    """A person without a team founds one."""
    refuse_when_locked()
    if of(user):
        raise Conflict("You are in a team already.")
    if user.is_admin:
        raise Forbidden("Admins are in no team.")
    try:
        team = found(user, name)
        audit.record(user, "team.create", team.name)
        db.session.commit()
    except IntegrityError as error:
        db.session.rollback()
        raise Conflict("There is already a team of this name.") from error
    return team


def join(user: User, team: Team) -> None:
    """A person without a team joins an open one."""
    _join(user, team, by_invitation=False)


def join_by_invitation(user: User, token: str) -> Team:
    """A person without a team joins by the captain's link."""
    team = invited_to(token)
    _join(user, team, by_invitation=True)
    return team


def _join(user: User, team: Team, by_invitation: bool) -> None:
    refuse_when_locked()
    others = members(team)
    try:
        take_seat(user, team, by_invitation)
        audit.record(user, "team.join", team.name)
        mails.post_all(others, "joined", f"{user.username} joined {team.name}", member=user, team=team)
        db.session.commit()
    except IntegrityError as error:
        db.session.rollback()
        raise Conflict("Somebody took the last seat a moment ago.") from error
    mails.deliver_soon()


def invited_to(token: str) -> Team:
    """The team that an invitation is for. Refuses one whose sender is not in the team any more."""
    identity, inviter = links.read("invite", token)
    team = db.session.get(Team, identity)
    host = db.session.get(User, inviter)
    if team is None or host is None or host not in members(team):
        raise Refused("This invitation is not valid any more. Ask the team for a new one.")
    return team


def invitation(user: User) -> str:
    """A signed token with which somebody can join the captain's team."""
    team = of(user)
    if team is None or captain(team) != user:
        raise Forbidden("Only a team's captain invites.")
    return links.sign("invite", [team.id, user.id])


def leave(user: User) -> None:
    """A person leaves their team; the history stays."""
    refuse_when_locked()
    membership = _current(user)
    membership.left_at = now()
    audit.record(user, "team.leave", membership.team.name)
    db.session.commit()


def set_open(user: User, is_open: bool) -> None:
    """The captain lists the team as open, or takes it off the list."""
    team = of(user)
    if team is None or captain(team) != user:
        raise Forbidden("Only a team's captain opens or closes it.")
    team.is_open = is_open
    audit.record(user, "team.open" if is_open else "team.close", team.name)
    db.session.commit()


def move(admin: User, user: User, team: Team | None) -> None:
    """An admin puts a person into a team, or takes them out; lock date and open list do not matter."""
    if team and team.is_house:
        raise Forbidden("Nobody joins the house.")
    current = of(user)
    if current == team:
        return
    try:
        if current:
            _current(user).left_at = now()
            db.session.flush()
        if team:
            _sit(user, team)
    except Refused:
        # Without this the person would look teamless on the page that shows the refusal.
        db.session.rollback()
        raise
    except IntegrityError as error:
        db.session.rollback()
        raise Conflict("Somebody took the last seat of this team a moment ago.") from error
    audit.record(
        admin, "team.move", user.username, origin=current.name if current else None, target=team.name if team else None
    )
    db.session.commit()


def rename(admin: User, team: Team, name: str) -> None:
    """An admin renames a team."""
    name, old = _free_name(name, team), team.name
    try:
        team.name = name
        audit.record(admin, "team.rename", old, name=name)
        db.session.commit()
    except IntegrityError as error:
        db.session.rollback()
        raise Conflict("There is already a team of this name.") from error


def _current(user: User) -> Membership:
    membership = db.session.scalar(
        db.select(Membership).where(Membership.user_id == user.id, Membership.left_at.is_(None))
    )
    if membership is None:
        raise Conflict("You are in no team.")
    return membership


def refuse_when_locked() -> None:
    """From the lock date on nobody founds, joins or leaves a team."""
    if site.teams_locked():
        raise Forbidden("Teams are fixed now. Ask the teaching staff.")


def players() -> list[User]:
    """Everybody who is in a team and may log in."""
    return list(
        db.session.scalars(
            db.select(User)
            .join(Membership)
            .where(Membership.left_at.is_(None), User.is_active.is_(True))
            .order_by(User.id)
        )
    )


def rosters() -> dict[int, list[User]]:
    """The people in every team by the team's id, captains first."""
    found: dict[int, list[User]] = {}
    for team_id, user in _seated():
        found.setdefault(team_id, []).append(user)
    return found


def by_person() -> dict[int, Team]:
    """The team of everybody who is in one, by the person's id."""
    teams = {team.id: team for team in everyone()}
    return {user.id: teams[team_id] for team_id, user in _seated()}


def _seated() -> list[tuple[int, User]]:
    query = (
        db.select(Membership.team_id, User)
        .join(User, User.id == Membership.user_id)
        .where(Membership.left_at.is_(None))
        .order_by(Membership.team_id, Membership.seat)
    )
    return [(team_id, user) for team_id, user in db.session.execute(query)]


def without_team() -> list[User]:
    """Active people in no team who are no admins, by name."""
    seated = db.select(Membership.user_id).where(Membership.left_at.is_(None))
    query = db.select(User).where(User.is_active.is_(True), User.is_admin.is_(False), User.id.not_in(seated))
    return list(db.session.scalars(query.order_by(func.lower(User.username))))
